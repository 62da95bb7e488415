// What Swift cannot import: Open MPI's handles and constants, which are macros, three functions that headers hide, a system
// call with variable arguments, and a header of glibc that its module leaves out.
#pragma once

#define OMPI_SKIP_MPICXX 1
#include <malloc.h>
#include <mpi.h>
#include <stddef.h>
#include <sys/syscall.h>

static inline MPI_Comm forge_mpi_comm_world(void) { return MPI_COMM_WORLD; }
static inline MPI_Comm forge_mpi_comm_null(void) { return MPI_COMM_NULL; }
static inline MPI_Errhandler forge_mpi_errors_return(void) { return MPI_ERRORS_RETURN; }
static inline MPI_Request forge_mpi_request_null(void) { return MPI_REQUEST_NULL; }
static inline MPI_Status *forge_mpi_status_ignore(void) { return MPI_STATUS_IGNORE; }
static inline MPI_Status *forge_mpi_statuses_ignore(void) { return MPI_STATUSES_IGNORE; }
static inline void *forge_mpi_in_place(void) { return MPI_IN_PLACE; }
static inline MPI_Info forge_mpi_info_null(void) { return MPI_INFO_NULL; }
static inline int forge_mpi_undefined(void) { return MPI_UNDEFINED; }

static inline MPI_Datatype forge_mpi_float(void) { return MPI_FLOAT; }
static inline MPI_Datatype forge_mpi_double(void) { return MPI_DOUBLE; }
static inline MPI_Datatype forge_mpi_uint8(void) { return MPI_UINT8_T; }
static inline MPI_Datatype forge_mpi_int32(void) { return MPI_INT32_T; }
static inline MPI_Datatype forge_mpi_int64(void) { return MPI_INT64_T; }
static inline MPI_Datatype forge_mpi_uint64(void) { return MPI_UINT64_T; }

static inline MPI_Op forge_mpi_sum(void) { return MPI_SUM; }
static inline MPI_Op forge_mpi_max(void) { return MPI_MAX; }
static inline MPI_Op forge_mpi_min(void) { return MPI_MIN; }

// Open MPI's own way to end a job with a code, without the eight-line notice that its MPI_Abort prints first. Weak:
// where a build of the library does not offer it, forge_mpi_abort falls back on the standard's function.
extern int ompi_mpi_abort(MPI_Comm comm, int code) __attribute__((weak));

static inline void forge_mpi_abort(int code) {
  if (ompi_mpi_abort) {
    ompi_mpi_abort(MPI_COMM_WORLD, code);
  } else {
    MPI_Abort(MPI_COMM_WORLD, code);
  }
}

// glibc hides these two from programs that do not define _GNU_SOURCE, as Swift does not.
extern int forge_sched_getaffinity(int pid, size_t size, void *mask) __asm__("sched_getaffinity");
extern int forge_sched_setaffinity(int pid, size_t size, const void *mask) __asm__("sched_setaffinity");

extern long forge_syscall(long number, ...) __asm__("syscall");

// Asks for turns of so many nanoseconds for the calling thread, if its policy is the usual one; its nice value stays.
// Before Linux 6.12 nothing changes.
static inline void forge_set_turn(unsigned long long nanoseconds) {
  struct {
    unsigned size, policy;
    unsigned long long flags;
    int nice;
    unsigned priority;
    unsigned long long runtime, deadline, period;
  } attributes = {0};
  attributes.size = sizeof(attributes);
  if (forge_syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0 || attributes.policy != 0) return;
  attributes.runtime = nanoseconds;
  forge_syscall(SYS_sched_setattr, 0, &attributes, 0);
}

// Blocks of so many bytes or more come from the system, and go back to it when they are freed.
static inline void forge_return_freed_blocks(int bytes) {
#ifdef M_MMAP_THRESHOLD
  mallopt(M_MMAP_THRESHOLD, bytes);
#endif
}
