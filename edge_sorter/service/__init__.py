"""The service room: running for years with nobody near. Status, metrics, health, supervision, the page.

Contract: everything here looks on from outside the way of the data; switched off, or failing, it changes no decision.
"""
