"""What controller and agents say to each other; the build makes `heyfleet.proto.fleet_pb2` of fleet.proto."""
