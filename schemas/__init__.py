"""The data contract: what a customer's table holds, what is valid, and the tables that ALP itself keeps."""
