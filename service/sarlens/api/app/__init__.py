"""The ASGI application: all routes behind one list of middlewares."""
