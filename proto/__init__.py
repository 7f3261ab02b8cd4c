"""The messages between a controller and its agents; `heyfleet.proto.fleet_pb2` is made from fleet.proto by the build."""
