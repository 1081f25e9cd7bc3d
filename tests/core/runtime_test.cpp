// The runtime without Python: lifetimes in the arena, strides of views, the plan cache, and whole Executables.
#include <algorithm>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "check.h"
#include "graph/text.h"
#include "runtime/arena.h"
#include "runtime/executable.h"
#include "runtime/layout.h"

namespace dvm {
namespace {

using Sizes = std::vector<std::int64_t>;

struct Block {
  std::int64_t bytes;
  int first, last;
};

TEST(blocks_that_live_together_lie_apart) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    ArenaLayout layout;
    std::vector<Block> blocks;
    const int count = static_cast<int>(random() % 30) + 1;
    for (int i = 0; i < count; ++i) {
      const int first = i / 3;
      Block block{static_cast<std::int64_t>(random() % 5000), first,
                  first + static_cast<int>(random() % 6)};
      CHECK(layout.add(block.bytes, block.first) == i);
      layout.use(i, block.last);
      blocks.push_back(block);
    }
    const std::int64_t total = layout.assign();
    std::int64_t sum = 0;
    for (int i = 0; i < count; ++i) {
      CHECK(layout.offset(i) % 64 == 0);
      CHECK(layout.offset(i) + blocks[i].bytes <= total);
      sum += blocks[i].bytes + 64;
      for (int j = 0; j < i; ++j) {
        const bool together =
            blocks[i].first <= blocks[j].last && blocks[j].first <= blocks[i].last;
        const bool apart = layout.offset(i) + blocks[i].bytes <= layout.offset(j) ||
                           layout.offset(j) + blocks[j].bytes <= layout.offset(i);
        CHECK(!together || apart);
      }
    }
    CHECK(total <= sum);
  }
}

TEST(blocks_that_follow_each_other_share_memory) {
  ArenaLayout layout;
  for (int step = 0; step < 10; ++step) layout.use(layout.add(4096, step), step + 1);
  CHECK(layout.assign() == 2 * 4096);
}

TEST(an_arena_within_an_arena_has_memory_of_its_own) {
  const Arena outer(1000);
  const Arena inner(1000);
  CHECK(outer.data() != inner.data());
  CHECK(Arena(0).data() == nullptr);
}

// The offset of element `number`, counted in row-major order.
std::int64_t offset_of(const Layout& layout, std::int64_t number) {
  std::int64_t offset = 0;
  for (int i = layout.rank - 1; i >= 0; --i) {
    offset += number % layout.sizes[i] * layout.strides[i];
    number /= layout.sizes[i];
  }
  return offset;
}

TEST(a_reshape_names_the_same_elements_or_none) {
  std::mt19937 random(11);
  int viewed = 0;
  for (int round = 0; round < 3000; ++round) {
    Sizes sizes;
    const int rank = static_cast<int>(random() % 5);
    for (int i = 0; i < rank; ++i) sizes.push_back(static_cast<std::int64_t>(random() % 4) + 1);
    Layout from = dense(sizes, 4);
    for (int i = 0; i + 1 < rank; ++i) {
      if (random() % 3 == 0) {
        std::swap(from.sizes[i], from.sizes[i + 1]);
        std::swap(from.strides[i], from.strides[i + 1]);
      }
      if (random() % 6 == 0) from.strides[i] = 0;
      if (random() % 6 == 0) from.strides[i] *= -1;
    }
    // Split the elements anew, by prime factors dealt out at random.
    Sizes to(1 + random() % 4, 1);
    for (std::int64_t left = from.elements(), p = 2; left > 1; left % p == 0 ? left /= p : ++p) {
      if (left % p == 0) to[random() % to.size()] *= p;
    }
    const std::optional<Layout> view = reshape(from, to, 4);
    if (from.contiguous(4)) CHECK(view.has_value());
    if (!view) continue;
    ++viewed;
    CHECK(view->elements() == from.elements());
    for (std::int64_t i = 0; i < from.elements(); ++i)
      CHECK(offset_of(from, i) == offset_of(*view, i));
  }
  CHECK(viewed > 1000);
}

TEST(a_tensor_without_elements_has_every_shape_without_elements) {
  Layout from = dense(Sizes{3, 0, 4}, 4);
  from.strides[2] = 64;
  const std::optional<Layout> view = reshape(from, Sizes{0, 5}, 4);
  CHECK(view && view->elements() == 0);
}

struct Tensor {
  explicit Tensor(Sizes shape) : sizes(std::move(shape)) {
    const Layout layout = dense(sizes, 4);
    strides.assign(layout.strides, layout.strides + layout.rank);
    data.resize(static_cast<std::size_t>(layout.elements()));
  }
  TensorView view() {
    return {data.data(), Type::f32, static_cast<int>(sizes.size()), sizes.data(), strides.data()};
  }
  Sizes sizes, strides;
  std::vector<float> data;
};

std::vector<float> run(Executable& executable, Tensor& x) {
  const TensorView view = x.view();
  const auto plan = executable.plan({&view, 1});
  std::vector<float> result(static_cast<std::size_t>(plan->outputs[0].layout.elements()));
  void* const input = x.data.data();
  void* const output = result.data();
  executable.run(*plan, {&input, 1}, {}, {&output, 1});
  return result;
}

Graph chain() {
  Graph graph("chain");
  const Dim m = graph.dims().symbol("m"), n = graph.dims().symbol("n");
  Value x = graph.input("x", Type::f32, {m, n});
  for (const int axis : {1, 0, 1})
    x = graph.elementwise(Op::sub, {x, graph.reduce(Op::max, x, {axis})});
  graph.output(graph.permute(x, {1, 0}));
  return graph;
}

std::vector<float> chain_of(const Tensor& x) {
  const std::int64_t m = x.sizes[0], n = x.sizes[1];
  std::vector<float> a = x.data;
  const auto subtract_max = [&](std::int64_t lines, std::int64_t line, std::int64_t length,
                                std::int64_t step) {
    for (std::int64_t i = 0; i < lines; ++i) {
      float most = a[static_cast<std::size_t>(i * line)];
      for (std::int64_t j = 0; j < length; ++j)
        most = std::max(most, a[static_cast<std::size_t>(i * line + j * step)]);
      for (std::int64_t j = 0; j < length; ++j)
        a[static_cast<std::size_t>(i * line + j * step)] -= most;
    }
  };
  subtract_max(m, n, n, 1);
  subtract_max(n, 1, m, n);
  subtract_max(m, n, n, 1);
  std::vector<float> turned(a.size());
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      turned[static_cast<std::size_t>(j * m + i)] = a[static_cast<std::size_t>(i * n + j)];
    }
  }
  return turned;
}

void fill(Tensor& x, unsigned seed) {
  std::mt19937 random(seed);
  for (float& value : x.data) value = static_cast<float>(static_cast<int>(random() % 1000) - 500);
}

TEST(several_kernels_pass_tensors_through_the_arena) {
  Executable executable(chain());
  for (const Sizes& sizes :
       {Sizes{1, 1}, Sizes{3, 5}, Sizes{1, 64}, Sizes{64, 1}, Sizes{33, 129}, Sizes{200, 70}}) {
    Tensor x(sizes);
    fill(x, 3);
    CHECK(run(executable, x) == chain_of(x));
  }
}

TEST(a_plan_from_the_cache_is_the_plan_that_was_made) {
  Executable executable(chain());
  Tensor x({3, 5}), y({5, 3});
  const TensorView a = x.view(), b = y.view();
  const auto first = executable.plan({&a, 1});
  CHECK(executable.plan({&b, 1}) != first);
  CHECK(executable.plan({&a, 1}) == first);
  executable.clear_cache();
  const auto again = executable.plan({&a, 1});
  CHECK(again != first);
  CHECK(again->arguments == first->arguments);
  CHECK(again->bytes() == first->bytes());
}

TEST(threads_run_one_executable) {
  Executable executable(chain(), 4096);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 50; ++round) {
        Tensor x({1 + round % 7, 1 + (round + static_cast<int>(t)) % 5});
        fill(x, t);
        if (run(executable, x) != chain_of(x)) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(std::ranges::all_of(wrong, [](int count) { return count == 0; }));
  CHECK(executable.cache_statistics().bytes <= 4096 || executable.cache_statistics().plans == 1);
}

TEST(inputs_that_do_not_fit_are_named) {
  Executable executable(parse_graph(print(chain())));
  Tensor x({3});
  const TensorView view = x.view();
  CHECK(test::throws([&] { executable.plan({&view, 1}); },
                     "[chain] input x: expected rank 2, got rank 1"));
}

}  // namespace
}  // namespace dvm
