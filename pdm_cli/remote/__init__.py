"""Jobs of pdm on other machines: what they are, and how they are sent, watched and fetched."""
