;; The WASI that a plugin in Go gets: enough for Go's run-time system to start, and no import of WASI. There are
;; no files, sockets, arguments and variables. What is printed goes to the plugin's log. Time stands still
;; where the SDK has set it, and nothing ever waits. Random numbers are the same in each instance.
;;
;; It is an adapter of wit-component for `wasi_snapshot_preview1`. It must not grow the memory: Go's allocator
;; takes it that all pages after its own are new.
(module
  (import "eventfabric:projection/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  (import "env" "memory" (memory 0))

  (global $wall (mut i64) (i64.const 0))
  (global $monotonic (mut i64) (i64.const 1))
  (global $random (mut i64) (i64.const 0))

  ;; Where Go lets lines gather: its fatal errors come in pieces.
  (global $line (mut i32) (i32.const 0))
  (global $room (mut i32) (i32.const 0))
  (global $used (mut i32) (i32.const 0))
  (global $level (mut i32) (i32.const 2))

  (func (export "adapter_set_line") (param $line i32) (param $room i32)
    (global.set $line (local.get $line))
    (global.set $room (local.get $room)))

  (func (export "adapter_set_clock") (param $nanoseconds i64)
    (global.set $wall (local.get $nanoseconds)))

  ;; Go's collector may look at the clock while the host hands values over. This clock is always here.
  (func (export "adapter_monotonic_clock_set_paused") (param i32))

  (func (export "clock_time_get") (param $clock i32) (param i64) (param $time i32) (result i32)
    (if (i32.eqz (local.get $clock))
      (then (i64.store (local.get $time) (global.get $wall)))
      (else
        (global.set $monotonic (i64.add (global.get $monotonic) (i64.const 1000)))
        (i64.store (local.get $time) (global.get $monotonic))))
    (i32.const 0))

  (func (export "clock_res_get") (param i32) (param $resolution i32) (result i32)
    (i64.store (local.get $resolution) (i64.const 1000))
    (i32.const 0))

  ;; Go waits with one subscription to the clock. It is over at once, and the clock has moved on.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $n i32) (param $count i32) (result i32)
    (if (i32.or (i32.eqz (local.get $n)) (i32.load8_u offset=8 (local.get $in)))
      (then (return (i32.const 28)))) ;; invalid
    (global.set $monotonic (i64.add (global.get $monotonic) (i64.load offset=24 (local.get $in))))
    (i64.store (local.get $out) (i64.load (local.get $in)))
    (i64.store offset=8 (local.get $out) (i64.const 0))
    (i32.store (local.get $count) (i32.const 1))
    (i32.const 0))

  ;; SplitMix64
  (func $draw (result i64)
    (local $z i64)
    (global.set $random (i64.add (global.get $random) (i64.const 0x9e3779b97f4a7c15)))
    (local.set $z (global.get $random))
    (local.set $z (i64.mul (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 30)))
      (i64.const 0xbf58476d1ce4e5b9)))
    (local.set $z (i64.mul (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 27)))
      (i64.const 0x94d049bb133111eb)))
    (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 31))))

  (func (export "random_get") (param $to i32) (param $len i32) (result i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $len)))
        (i32.store8 (local.get $to) (i32.wrap_i64 (call $draw)))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; The first line of a crash is an error: the host names it as the cause of the trap.
  (func $flush
    (local $len i32) (local $start i32)
    (local.set $len (global.get $used))
    (if (i32.eqz (local.get $len)) (then (return)))
    (global.set $used (i32.const 0))
    (local.set $start (i32.load (global.get $line)))
    (if (i32.or
          (i32.eq (local.get $start) (i32.const 0x61746166))  ;; fata(l error: …)
          (i32.eq (local.get $start) (i32.const 0x696e6170))) ;; pani(c: …)
      (then (global.set $level (i32.const 4))))
    (call $log (global.get $level) (global.get $line) (local.get $len)))

  ;; Adds to the line; a new line in the text ends it.
  (func $print (param $from i32) (param $len i32)
    (local $byte i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $len)))
        (local.set $byte (i32.load8_u (local.get $from)))
        (if (i32.eq (local.get $byte) (i32.const 10))
          (then (call $flush))
          (else
            (if (i32.eq (global.get $used) (global.get $room)) (then (call $flush)))
            (i32.store8 (i32.add (global.get $line) (global.get $used)) (local.get $byte))
            (global.set $used (i32.add (global.get $used) (i32.const 1)))))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $next))))

  (func (export "fd_write") (param $fd i32) (param $parts i32) (param $n i32) (param $written i32) (result i32)
    (local $sum i32)
    (if (i32.gt_u (i32.sub (local.get $fd) (i32.const 1)) (i32.const 1))
      (then (return (i32.const 8)))) ;; bad descriptor
    ;; stdout: debug; stderr: warn
    (global.set $level (select (i32.const 1) (i32.const 3) (i32.eq (local.get $fd) (i32.const 1))))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $n)))
        (if (global.get $room)
          (then (call $print (i32.load (local.get $parts)) (i32.load offset=4 (local.get $parts)))))
        (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (local.get $parts))))
        (local.set $parts (i32.add (local.get $parts) (i32.const 8)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0))

  (func (export "proc_exit") (param i32)
    (call $flush)
    (unreachable))

  ;; No arguments, no variables.
  (func $none (export "args_sizes_get") (export "environ_sizes_get") (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))
  (func (export "args_get") (export "environ_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "sched_yield") (result i32) (i32.const 0))

  ;; No files, no sockets: there is no such descriptor.
  (func (export "fd_close") (export "fd_datasync") (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func
    (export "fd_fdstat_get")
    (export "fd_fdstat_set_flags")
    (export "fd_filestat_get")
    (export "fd_prestat_get")
    (export "fd_renumber")
    (export "fd_tell")
    (export "sock_shutdown")
    (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func
    (export "fd_prestat_dir_name")
    (export "path_create_directory")
    (export "path_remove_directory")
    (export "path_unlink_file")
    (export "sock_accept")
    (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_allocate") (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_advise") (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func
    (export "path_filestat_get")
    (export "path_symlink")
    (export "sock_send")
    (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func
    (export "fd_pread")
    (export "fd_pwrite")
    (export "fd_readdir")
    (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func
    (export "path_readlink")
    (export "path_rename")
    (export "sock_recv")
    (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8)))
