"""What the package writes to disk appears whole or not at all, and is named by its digest.

No module of this folder imports torch when it is imported: a workspace's journal is read and written without it.
"""
