"""What an agent can be told, by environment or file; `longshore_common.settings.load` fills it.

What must not enter: defaults that depend on the host (`service` derives them).
"""

from typing import ClassVar, Literal

from msgspec import Struct


class Settings(Struct, frozen=True, kw_only=True):
    """`concurrency`: slots, 0 = one per CPU, auto = what tasks request decides alone; `prefetch`: attempts beyond what
    runs, a percentage such as 50%, or auto (-1); `batch` `*` = any. `custom`: amounts of resources that tasks can request
    by name, such as `license=2,fpga=1`.

    `nats_url` and `nats_creds` override what enrolment gives. `spawner_socket` empty: a spawner of our own is started when
    none serves; named: whoever supervises it starts it. `executor` noop ends every attempt at once without a process, for
    benches only. `stop` kill: SIGTERM ends all attempts instead of leaving them to the next agent. `output_store`: a folder
    in any storage that can be written, such as s3://bucket/logs/, for output too large for a report; empty: the log's.

    `transfers`: files that move at once on this host; `bandwidth_down`, `bandwidth_up`: bytes a second such as 100M, empty =
    no limit. `cache_max`: bytes of resources kept for later attempts, empty = as many as `cache_free` allows, the part of
    the disk (such as 10% or 50G) that the cache and kept directories leave free. `keep_failed`: so many work directories
    of failed attempts are kept, the newest.

    `throttle`: fewer tasks start while the processors wait for the disk. `disk_low`: no new work while less than this (`5%`,
    `20G`, `0` = never) is free where attempts work; empty: 2 %, between 1 and 20 GiB. `hours`: what tasks may use by the
    hour of the week, such as `Mon-Fri 08:00-18:00 cpus=4 memory=16G; cpus=all`. `numa`: each attempt runs on hardware
    threads of its own, of one memory node. `gpus`: all, none, or ids such as 0,1. `provider`: whose notices of an end of
    the host are read, auto = the first whose metadata service answers at `metadata_url`.
    `volumes`, `allow_options` (lists with commas) and `container_network`: see `adapters.containers.options.permissions`.
    """

    worker: str = ""
    worker_dir: str = ""
    api_url: str = ""
    join_secret_file: str = ""
    nats_url: str = ""
    nats_creds: str = ""
    concurrency: int | str = 0
    prefetch: int | str = -1
    custom: str = ""
    batch: str = "*"
    spawner_socket: str = ""
    executor: Literal["process", "noop"] = "process"
    stop: Literal["leave", "kill"] = "leave"
    output_store: str = ""
    volumes: str = ""
    allow_options: str = ""
    container_network: str = "bridge"
    transfers: int = 16
    bandwidth_down: str = ""
    bandwidth_up: str = ""
    cache_max: str = ""
    cache_free: str = "10%"
    keep_failed: int = 20
    throttle: Literal["on", "off"] = "on"
    disk_low: str = ""
    hours: str = ""
    numa: Literal["on", "off"] = "off"
    gpus: str = "all"
    provider: Literal["auto", "azure", "openstack", "aws", "none"] = "auto"
    metadata_url: str = "http://169.254.169.254"

    ENV: ClassVar[dict[str, str]] = {"nats_url": "NATS_URL", "nats_creds": "NATS_CREDS"}
