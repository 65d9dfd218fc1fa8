#!/bin/sh
# Says what a redis-server says that was built without TLS, as far as it is asked.
case "$*" in
  --version) echo "Redis server v=8.0.2 sha=00000000:0 malloc=libc bits=64" ;;
  *) echo "# Failed finding TLS support."; exit 1 ;;
esac
