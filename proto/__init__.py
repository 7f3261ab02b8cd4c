"""The schema of everything that crosses a process boundary; the build makes `NAME_pb2` modules of the .proto files."""
