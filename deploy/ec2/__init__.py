"""Agents on EC2 instances."""
