// Runs all cases, or those whose name contains the first argument.
#include "check.h"

namespace dvm::test {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

int& failures() {
  static int count = 0;
  return count;
}

}  // namespace dvm::test

int main(int count, char** arguments) {
  using namespace dvm::test;
  const std::string wanted = count > 1 ? arguments[1] : "";
  int run = 0;
  for (const Case& test : cases()) {
    if (test.name.find(wanted) == std::string::npos) continue;
    const int before = failures();
    try {
      test.run();
    } catch (const std::exception& error) {
      ++failures();
      std::cerr << "unexpected error: " << error.what() << "\n";
    }
    std::cout << (failures() == before ? "ok      " : "FAILED  ") << test.name << "\n";
    ++run;
  }
  std::cout << run << " cases, " << failures() << " failures\n";
  return failures() == 0 && run > 0 ? 0 : 1;
}
