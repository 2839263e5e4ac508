#!/bin/sh -e
# The machine's one link, with its default route, leads to a network namespace from where attackers and users come.
ip netns add outside
ip link add wan type veth peer name world netns outside
ip address add 192.0.2.1/24 dev wan
ip link set wan up
ip -n outside link set lo up
for host in 10 11 12 13 14 15 16 17 18 19 254; do
    ip -n outside address add 192.0.2.$host/24 dev world
done
ip -n outside link set world up
ip route add default via 192.0.2.254
