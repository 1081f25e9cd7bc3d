// The least that tests need: named cases, checks that say where they failed and go on.
#pragma once

#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace dvm::test {

struct Case {
  std::string name;
  std::function<void()> run;
};

std::vector<Case>& cases();
int& failures();

struct Register {
  Register(std::string name, std::function<void()> run) {
    cases().push_back({std::move(name), std::move(run)});
  }
};

inline bool check(bool condition, const char* text, const char* file, int line) {
  if (!condition) {
    ++failures();
    std::cerr << file << ":" << line << ": not true: " << text << "\n";
  }
  return condition;
}

/// True when `run` throws std::invalid_argument with `part` in its message.
inline bool throws(const std::function<void()>& run, const std::string& part) {
  try {
    run();
  } catch (const std::invalid_argument& error) {
    if (std::string(error.what()).find(part) != std::string::npos) return true;
    std::cerr << "another error: " << error.what() << "\n";
  }
  return false;
}

}  // namespace dvm::test

#define TEST(name)                                                  \
  static void name();                                               \
  static const ::dvm::test::Register register_##name(#name, &name); \
  static void name()
#define CHECK(condition) ::dvm::test::check((condition), #condition, __FILE__, __LINE__)
