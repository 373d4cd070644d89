set -e
mount -o remount,rw /proc/sys
ip link add s0 type bridge
ip link set s0 up
ip link add s1 type bridge
ip link set s1 up
ip link add nobodys1 type veth peer name voids1
ip link set nobodys1 up; ip link set voids1 up
for k in ip_forward conf/s1/proxy_arp; do echo 1 > /proc/sys/net/ipv4/$k; done
for k in conf/all/rp_filter conf/s1/rp_filter neigh/s1/proxy_delay; do echo 0 > /proc/sys/net/ipv4/$k; done
ip route add default dev voids1
ip route replace 12.34.56.78/32 dev s1
ip route replace 12.34.56.79/32 dev s1
ip route replace 192.0.2.53/32 dev s1
nft 'add table ip void; add chain ip void forward { type filter hook forward priority 0; }; add rule ip void forward oifname "voids1" drop'
ip link add s2 type bridge
ip link set s2 up
ip link add p0 type veth peer name internet netns 1000
ip link set p0 master s1 up
ip link add p1 type veth peer name perimeter netns 1000
ip link set p1 master s2 up
nsenter -t 1000 -n sh -e <<'EOF'
ip link set lo up
ip link set internet up
ip addr add 12.34.56.78/0 dev internet
ip addr add 12.34.56.79/0 dev internet
ip route add default dev internet
ip link set perimeter up
ip addr add 10.11.12.1/24 dev perimeter
ip route add 10.10.0.0/16 via 10.11.12.2
EOF
nsenter -t 1000 -n sh -c 'echo 3600 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established'
ip link add p2 type veth peer name corporate netns 1001
ip link set p2 master s0 up
ip link add p3 type veth peer name perimeter netns 1001
ip link set p3 master s2 up
nsenter -t 1001 -n sh -e <<'EOF'
ip link set lo up
ip link set corporate up
ip addr add 10.10.10.1/16 dev corporate
ip link set perimeter up
ip addr add 10.11.12.2/24 dev perimeter
EOF
nsenter -t 1001 -n sh -c 'echo 3600 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established'
ip link add p4 type veth peer name corporate netns 1002
ip link set p4 master s0 up
ip link add p5 type veth peer name perimeter netns 1002
ip link set p5 master s2 up
nsenter -t 1002 -n sh -e <<'EOF'
ip link set lo up
ip link set corporate up
ip addr add 10.10.10.50/16 dev corporate
ip link set perimeter up
ip addr add 10.11.12.33/24 dev perimeter
ip route add 10.11.12.40/32 via 10.10.10.1
ip route add default via 10.11.12.1
EOF
ip link add p6 type veth peer name perimeter netns 1003
ip link set p6 master s2 up
nsenter -t 1003 -n sh -e <<'EOF'
ip link set lo up
ip link set perimeter up
ip addr add 10.11.12.40/24 dev perimeter
ip route add 10.10.0.0/16 via 10.11.12.2
ip route add default via 10.11.12.1
EOF
ip link add p7 type veth peer name internet netns 1004
ip link set p7 master s1 up
nsenter -t 1004 -n sh -e <<'EOF'
ip link set lo up
ip link set internet up
ip addr add 192.0.2.53/0 dev internet
ip route add default dev internet
EOF
[ -e /tmp/s0 ] || { ls /sys/class/net/s0/brif > /tmp/s0; for p in $(cat /tmp/s0); do ip link set $p nomaster; done; }
