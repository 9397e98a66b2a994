"""Stentor and others under the same load: what is started, what is asked of it, one run, and what is told."""
