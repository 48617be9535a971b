"""Preparation of raw tables: cleaning, a regular time grid, and data-quality findings."""
