// Random floats, and a check on every build of the kernels that this CPU runs: what products_test.cpp and convolution_test.cpp
// share.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/dispatch.h"

namespace dvm {

inline std::vector<float> random_floats(std::int64_t count) {
  static std::mt19937 random(3);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random() % 2000) / 1000.0f - 1.0f;
  return values;
}

template <class Check>
void on_every_isa(Check check) {
  const std::string before(cpu::isa().name);
  for (const std::string_view name : cpu::available_isas()) {
    cpu::choose_isa(name);
    check();
  }
  cpu::choose_isa(before);
}

}  // namespace dvm
