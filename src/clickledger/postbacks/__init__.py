"""Postbacks: calls to the addresses that brands and partners named, when something happened."""
