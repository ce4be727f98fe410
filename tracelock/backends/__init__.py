"""How to wait, and how to do an operation on the real object: a room per kind of worker.

``rules`` is the table of backends, ``base`` their contract, ``real`` what their objects share.
"""
