"""The composition root: settings and a data folder become open resources and running parts.

Everything is opened here, in order, and closed in reverse; nothing else reads settings or opens
a connection. One module per kind of process, so that none loads what only another needs.
"""
