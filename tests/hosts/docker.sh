#!/bin/sh
# A stand-in for docker in tests: buildah and podman, which take the same arguments. A nested test machine needs chroot builds,
# and containers with runc, without systemd cgroups, without a network of their own, and with limits that its kernel grants.
case "$1" in
build)
    shift
    exec buildah build --isolation chroot --format docker "$@"
    ;;
run)
    shift
    for word in "$@"; do
        shift
        case "$word" in
        nofile=*) word=nofile=20000:20000 ;;
        esac
        set -- "$@" "$word"
    done
    case " $* " in
    *" --network "*) ;;
    *) set -- --network host "$@" ;;
    esac
    case " $* " in
    *" nofile="*) ;;
    *) set -- --ulimit nofile=20000:20000 "$@" ;;
    esac
    exec podman --runtime runc --cgroup-manager cgroupfs run --ulimit nproc=4096:4096 "$@"
    ;;
*) exec podman "$@" ;;
esac
