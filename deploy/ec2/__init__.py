"""Providers that launch agents on EC2 instances, directly or through an Auto Scaling group."""
