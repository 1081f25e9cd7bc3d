// Profile: what each launch of the calls of one thread took. While one is on, the launches of that thread's calls run
// one by one, so that each has a time of its own; while none is, a call pays one branch. executable.cpp fills it in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dvm {

/// A Kernel's launches in one call, which follow each other, or a copy that no Kernel asked for.
struct KernelTime {
  std::string graph, kernel;
  int number = -1;  // of the Kernel among those of its version; -1 for a copy
  int launches = 1;
  int threads = 1;         // that shared the largest launch
  std::int64_t begin = 0;  // nanoseconds of the steady clock
  std::int64_t end = 0;
  std::int64_t bytes = 0;  // read and written; what is between its launches apart
};

class Profile {
 public:
  /// The Profile of this thread, null while none is on.
  static Profile* current();
  /// Begins one on this thread. Throws std::invalid_argument if one is on.
  static void start();
  /// Ends it. Throws std::invalid_argument if none is on.
  static std::vector<KernelTime> stop();
  /// Nanoseconds of the steady clock.
  static std::int64_t now();

  void add(KernelTime time) { times_.push_back(std::move(time)); }
  std::vector<KernelTime>& times() { return times_; }

 private:
  std::vector<KernelTime> times_;
};

}  // namespace dvm
