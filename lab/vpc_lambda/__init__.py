"""A model of an AWS Lambda function in a VPC behind API Gateway, with the network of before or after 2019."""
