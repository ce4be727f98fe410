"""The Debug Adapter Protocol on a replay, for editors: forward and back.

``debugpy`` cannot serve it: its adapter starts the program itself and lets its threads run, and it
knows no way back. What is needed of the protocol is small.
https://microsoft.github.io/debug-adapter-protocol/specification
"""
