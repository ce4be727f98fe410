"""The asyncio and trio backends: workers are tasks of an event loop."""
