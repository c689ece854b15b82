"""`longshore ui`: a page that shows a cluster, served on loopback with the user's credentials.

The page is a handful of hand-written files; nothing is built or fetched from elsewhere. It renders
one whole state that the server sends whenever it changed (`picture`), and reads logs and objects
through a proxy of the API that lets nothing but reads pass (`guard`). See docs/decisions/0017.
"""
