"""The address that the tests' pages come from."""

HOST = "127.0.0.1:1234"
TOKEN = "token"
