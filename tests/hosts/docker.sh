#!/bin/sh
# What stands for docker in tests: buildah and podman, which have its words. For the nested kernel of a test machine builds are in
# a chroot, and containers have runc, no systemd for their cgroups, no network of their own, and no limit that it does not grant.
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
