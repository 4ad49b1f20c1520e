"""The host side: makes a kernel, an image and a running guest from a checkout.

Nothing of this package is in the image.
"""
