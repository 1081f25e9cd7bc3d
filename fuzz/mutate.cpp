// Drives a fuzz target without libFuzzer: random valid programs, some of their bits changed. Says what it ran; the same
// seed does the same again.
//
//   fuzz_verify [iterations] [seed]
#include <cstdio>
#include <cstdlib>

#include "isa/encode.h"
#include "random_program.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using dvm::Word;
using dvm::test::Random;

// Numbers that are often at the edge of something.
constexpr Word kEdges[] = {0,
                           1,
                           2,
                           3,
                           7,
                           8,
                           63,
                           64,
                           65,
                           255,
                           1023,
                           1024,
                           0x7fffffff,
                           0xffffffff,
                           Word(1) << 55,
                           Word(1) << 56,
                           Word(1) << 62,
                           Word(1) << 63,
                           ~Word(0),
                           ~Word(3)};

void mutate(std::vector<Word>& words, Random& random) {
  Word& word = words[random() % words.size()];
  switch (random() % 6) {
    case 0:
      word ^= Word(1) << (random() % 64);
      break;
    case 1:
      word = kEdges[random() % (sizeof(kEdges) / sizeof(kEdges[0]))];
      break;
    case 2:
      word += random() % 16 - 8;
      break;
    case 3:
      word = words[random() % words.size()];
      break;
    case 4:
      word ^= (random() % 256) << (random() % 8 * 8);
      break;
    default: {
      // Part of another word: fields with plausible values.
      const Word mask = (Word(0xffff) << (random() % 4 * 16));
      word = (word & ~mask) | (words[random() % words.size()] & mask);
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  const long iterations = count > 1 ? std::atol(arguments[1]) : 20000;
  const std::uint64_t seed = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 1;
  Random random(seed);
  std::vector<Word> words;
  for (long i = 0; i < iterations; ++i) {
    if (i % 16 == 0) {
      words = dvm::encode(dvm::test::random_program(random));
    }
    std::vector<Word> mutated = words;
    const std::size_t changes = random() % 4;
    for (std::size_t k = 0; k < changes; ++k) mutate(mutated, random);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(mutated.data()),
                           mutated.size() * sizeof(Word));
  }
  std::printf("%ld inputs, seed %llu\n", iterations, static_cast<unsigned long long>(seed));
  return 0;
}
