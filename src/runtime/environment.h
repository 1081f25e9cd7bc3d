// Bounds that environment variables may set.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace dvm {

/// The number of bytes in the environment variable `name`; `usual` where there is none.
inline std::size_t bytes_in_environment(const char* name, std::size_t usual) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return usual;
  std::size_t bytes = 0;
  const char* const end = text + std::strlen(text);
  const auto [read, error] = std::from_chars(text, end, bytes);
  return error == std::errc{} && read == end ? bytes : usual;
}

}  // namespace dvm
