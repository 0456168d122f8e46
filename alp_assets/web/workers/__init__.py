"""Processes in which what people send is decoded and analysed, away from the server."""
