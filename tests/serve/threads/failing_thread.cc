// Loaded before the C library: the system refuses one thread, the one whose number $FAILING_THREAD says, from 0 on.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                              void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  static const char* const failing = std::getenv("FAILING_THREAD");
  static std::atomic<int> asked{0};
  if (failing != nullptr && asked++ == std::atoi(failing)) return EAGAIN;
  return create(thread, attributes, run, argument);
}
