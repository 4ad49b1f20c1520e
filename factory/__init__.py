"""The host side: what turns a checkout into a kernel, an image and a running guest.

Nothing of this package is in the image.
"""
