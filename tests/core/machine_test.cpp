// Every build of the kernels, on any number of threads, does what the reference machine does.
#include "check.h"
#include "cpu/dispatch.h"
#include "cpu/interpreter.h"
#include "cpu/parallel.h"
#include "isa/disassemble.h"
#include "isa/encode.h"
#include "isa/verify.h"
#include "random_program.h"
#include "reference_machine.h"

namespace dvm::test {
namespace {

constexpr int kPrograms = 3000;

void expect_same(const Memory& wanted, const Memory& found, const Program& program,
                 std::string_view by, int seed) {
  for (std::size_t i = 0; i < wanted.arguments.size(); ++i) {
    if (CHECK(wanted.arguments[i] == found.arguments[i])) continue;
    std::cerr << "argument " << i << " by " << by << ", seed " << seed << "\n"
              << disassemble(program) << "\n";
    return;
  }
}

Memory copy_of(const Memory& memory) {
  Memory copy = memory;
  for (std::size_t i = 0; i < copy.arguments.size(); ++i)
    copy.addresses[i] = copy.arguments[i].data();
  return copy;
}

}  // namespace

TEST(random_programs_agree_with_the_reference_on_every_isa) {
  for (int seed = 0; seed < kPrograms && failures() == 0; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    const Program program = random_program(random);
    const std::vector<Word> words = encode(program);
    try {
      verify(words);
    } catch (const std::invalid_argument& error) {
      CHECK(false);
      std::cerr << error.what() << ", seed " << seed << "\n" << disassemble(program) << "\n";
      continue;
    }
    const Memory start = random_memory(program, random);
    const Memory wanted = copy_of(start);
    run_reference(program, {wanted.addresses.data(), wanted.scalars.data()});
    for (const std::string_view isa : cpu::available_isas()) {
      cpu::choose_isa(isa);
      const Memory found = copy_of(start);
      cpu::run(words, {found.addresses.data(), found.scalars.data()}, 1);
      expect_same(wanted, found, program, isa, seed);
    }
  }
  cpu::choose_isa(cpu::available_isas().front());
}

}  // namespace dvm::test
