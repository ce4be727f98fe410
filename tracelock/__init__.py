"""tracelock makes concurrency bugs reproducible."""
