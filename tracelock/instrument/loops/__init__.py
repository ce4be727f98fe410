"""Coroutines of real code: the tasks of an asyncio or trio loop under control."""
