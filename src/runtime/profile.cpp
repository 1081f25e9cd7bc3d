#include "runtime/profile.h"

#include <chrono>
#include <memory>
#include <stdexcept>

namespace dvm {
namespace {

thread_local std::unique_ptr<Profile> of_this_thread;

}  // namespace

Profile* Profile::current() { return of_this_thread.get(); }

void Profile::start() {
  if (of_this_thread != nullptr)
    throw std::invalid_argument("[profile] one is on already in this thread, wanted none");
  of_this_thread = std::make_unique<Profile>();
}

std::vector<KernelTime> Profile::stop() {
  if (of_this_thread == nullptr)
    throw std::invalid_argument("[profile] none is on in this thread, wanted one");
  const std::unique_ptr<Profile> profile = std::move(of_this_thread);
  return std::move(profile->times_);
}

std::int64_t Profile::now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace dvm
