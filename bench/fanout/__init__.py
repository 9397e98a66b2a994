"""Comparison of Stentor with other servers: the servers, the workloads, one run, and the report."""
