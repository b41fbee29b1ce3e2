"""Brands, partners, programs, ads and links, and the directory the collector uses."""
