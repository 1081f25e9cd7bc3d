// Words from anywhere: verify() never crashes, and what it accepts runs without touching memory that is not its own.
// Built with libFuzzer where there is clang (FUZZING), else with mutate.cpp as its driver; always with sanitizers.
#include "isa/verify.h"

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "cpu/interpreter.h"
#include "isa/assemble.h"
#include "isa/decode.h"
#include "isa/disassemble.h"
#include "isa/encode.h"

namespace {

using dvm::Word;

// A fuzzer's time is better spent on many small programs than on one large one.
constexpr std::int64_t kMostBytes = 1 << 20;
constexpr double kMostWork = 1e6;

bool is_small(std::span<const Word> words) {
  const dvm::ProgramWords program(words.data());
  if (program.scratch_bytes() > kMostBytes) return false;
  double steps = static_cast<double>(program.parts());
  for (int axis = 0; axis < program.axes(); ++axis)
    steps *= static_cast<double>(program.extent(axis) + 1);
  return steps * (program.instructions() + 1) <= kMostWork;
}

void run(std::span<const Word> words) {
  const dvm::ProgramWords program(words.data());
  std::vector<std::vector<unsigned char>> memory;
  std::vector<void*> addresses;
  std::int64_t total = 0;
  for (unsigned i = 0; i < program.arguments(); ++i) {
    const dvm::Reach reach = dvm::reach(words, i);
    const std::int64_t first = std::min<std::int64_t>(reach.first, 0);
    total += reach.end - first;
    if (reach.end < 0 || total > kMostBytes) return;
    // Exactly what may be touched, so that the address sanitizer sees a byte more.
    memory.emplace_back(static_cast<std::size_t>(reach.end - first));
    addresses.push_back(memory.back().data() - first);
  }
  const std::vector<std::uint64_t> scalars(program.scalars());
  dvm::cpu::run(words, {addresses.data(), scalars.data()}, 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<Word> words(size / sizeof(Word));
  std::memcpy(words.data(), data, words.size() * sizeof(Word));
  if (!words.empty()) words[0] = dvm::fingerprint();
  try {
    dvm::verify(words);
  } catch (const std::invalid_argument&) {
    return 0;
  }
  const dvm::Program program = dvm::decode(words);
  if (dvm::encode(program) != words) __builtin_trap();
  if (dvm::assemble(dvm::disassemble(program)) != program) __builtin_trap();
  if (is_small(words)) run(words);
  return 0;
}
