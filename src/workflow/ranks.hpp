// What tasks and services say of their ranks: how many there are, of which MPI, and what each gets.
#pragma once

#include <cstdint>

#include "core/description.hpp"
#include "workflow/reader.hpp"

namespace trireme::workflow {

/// Where what was read goes; what is not given stays as it is.
struct RankFields {
  std::uint32_t& ranks;
  MpiKind& mpi;
  Resources& per_rank;
  std::uint32_t& ranks_per_node;
};

/// Reads `ranks`, `mpi`, `cores_per_rank`, `gpus_per_rank` and `memory_per_rank` (or `cores`, `gpus` and `memory`, which mean the
/// same) and `ranks_per_node`.
void read_ranks(Fields& fields, const Reader& reader, RankFields out);

}  // namespace trireme::workflow
