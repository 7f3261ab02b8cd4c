"""API Gateway before a Lambda function in a VPC, before and after its network was rebuilt."""
