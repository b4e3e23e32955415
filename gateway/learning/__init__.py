"""What learns from labelled answers beside a gateway. Imported by ``gateway learn`` only, and never by a server.

It reads the stream of labelled answers, and everything else it asks of the admin API.
"""
