#include "launch/pmix/server/server.hpp"

#include <pmix.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "launch/pmix/server/info.hpp"

namespace trireme::pmix {
namespace {

namespace fs = std::filesystem;

Error failure(const std::string& call, pmix_status_t status) {
  return {call + ": " + PMIx_Error_string(status), "PMIx", ""};
}

/// PMIx's compact form of a list, which is ours to free.
using Regex = std::unique_ptr<char, decltype(&std::free)>;
Result<Regex> make_regex(pmix_status_t (*generate)(const char*, char**), const std::string& list) {
  char* text = nullptr;
  const pmix_status_t status = generate(list.c_str(), &text);
  if (status != PMIX_SUCCESS) return failure("PMIx_generate_regex", status);
  return Regex(text, &std::free);
}

template <typename List>
std::string join(const List& list, char separator, const auto& text_of) {
  std::string out;
  for (const auto& one : list) {
    if (!out.empty()) out += separator;
    out += text_of(one);
  }
  return out;
}

std::string ranks_text(const std::vector<std::uint32_t>& ranks) {
  return join(ranks, ',', [](std::uint32_t rank) { return std::to_string(rank); });
}

pmix_proc_t process(const std::string& space, pmix_rank_t rank) {
  pmix_proc_t out;
  PMIX_LOAD_PROCID(&out, space.c_str(), rank);
  return out;
}

void free_bytes(void* bytes) {
  std::free(bytes);
}

}  // namespace

Server* Server::instance_ = nullptr;

Server::Server(Channel& agent, std::string folder, std::string memory_folder)
    : agent_(agent), folder_(std::move(folder)), memory_folder_(std::move(memory_folder)) {
  instance_ = this;
}

Server::~Server() {
  farewells_.close();
  if (running_) PMIx_server_finalize();
  instance_ = nullptr;
}

Status Server::start(const std::string& host) {
  // What is not here (publish, connect, spawn, query of others, …) libpmix answers with PMIX_ERR_NOT_SUPPORTED.
  static pmix_server_module_t functions{};
  functions.client_connected2 = &Server::on_connected;
  functions.client_finalized = &Server::on_finalized;
  functions.abort = &Server::on_abort;
  functions.fence_nb = &Server::on_fence;
  functions.direct_modex = &Server::on_modex;
  InfoList info;
  info.add(PMIX_SERVER_TMPDIR, folder_);
  info.add(PMIX_SYSTEM_TMPDIR, folder_);
  info.add(PMIX_SERVER_NSPACE, "trireme-server." + std::to_string(::getpid()));
  info.add_rank(PMIX_SERVER_RANK, 0);
  info.add(PMIX_HOSTNAME, host);
#ifdef PMIX_SERVER_SHARE_TOPOLOGY
  info.add_flag(PMIX_SERVER_SHARE_TOPOLOGY);
#endif
  const pmix_status_t status = PMIx_server_init(&functions, info.data(), info.size());
  if (status != PMIX_SUCCESS) return failure("PMIx_server_init", status);
  running_ = true;
  return {};
}

void Server::handle(ToServer request) {
  std::visit([this](auto& message) { on(message); }, request);
}

// ---- requests of the agent

void Server::on(Open& request) {
  Space space;
  space.folder = request.folder;
  if (!memory_folder_.empty())
    space.memory_folder = memory_folder_ + "/" + fs::path(request.folder).filename().string();
  {
    const std::scoped_lock lock(mutex_);
    spaces_.insert_or_assign(request.name, space);
  }
  Opened opened{request.name, "", {}};
  if (auto done = open(request, space, opened.ranks); !done.ok()) opened.error = done.error().text();
  agent_.send(std::move(opened));
}

Status Server::open(const Open& request, const Space& space, std::vector<RankEnvironment>& environment) {
  const auto& here = request.host_ranks[request.here];
  std::error_code made;
  fs::create_directories(space.folder, made);
  if (made) return Error{"cannot make the session's folder: " + made.message(), space.folder, ""};
  std::error_code no_memory;
  if (!space.memory_folder.empty()) fs::create_directory(space.memory_folder, no_memory);

  auto nodes = make_regex(&PMIx_generate_regex, join(request.hosts, ',', [](auto& name) { return name; }));
  if (!nodes) return nodes.error();
  auto ranks = make_regex(&PMIx_generate_ppn, join(request.host_ranks, ';', ranks_text));
  if (!ranks) return ranks.error();

  InfoList info;
  info.add(PMIX_JOBID, request.name);
  info.add(PMIX_NODE_MAP, nodes->get(), PMIX_REGEX);
  info.add(PMIX_PROC_MAP, ranks->get(), PMIX_REGEX);
  const auto local_size = static_cast<std::uint32_t>(here.size());
  info.add(PMIX_UNIV_SIZE, request.size);
  info.add(PMIX_JOB_SIZE, request.size);
  info.add(PMIX_MAX_PROCS, request.size);
  info.add(PMIX_APP_SIZE, request.size);
  info.add(PMIX_JOB_NUM_APPS, std::uint32_t{1});
  info.add(PMIX_NUM_NODES, static_cast<std::uint32_t>(request.hosts.size()));
  info.add(PMIX_NODEID, request.here);
  info.add(PMIX_LOCAL_SIZE, local_size);
  info.add(PMIX_NODE_SIZE, local_size);
  info.add(PMIX_LOCAL_PEERS, ranks_text(here));
  info.add_rank(PMIX_LOCALLDR, here.front());
  info.add(PMIX_TMPDIR, space.folder);
  info.add(PMIX_NSDIR, space.folder);
  info.add_flag(PMIX_TDIR_RMCLEAN);
  for (std::size_t i = 0; i < here.size(); ++i) {
    const auto local = static_cast<std::uint16_t>(i);
    InfoList rank;
    rank.add_rank(PMIX_RANK, here[i]);
    rank.add(PMIX_APPNUM, std::uint32_t{0});
    rank.add_rank(PMIX_GLOBAL_RANK, here[i]);
    rank.add_rank(PMIX_APP_RANK, here[i]);
    rank.add(PMIX_LOCAL_RANK, local);
    rank.add(PMIX_NODE_RANK, local);
    rank.add(PMIX_NODEID, request.here);
    rank.add(PMIX_HOSTNAME, request.hosts[request.here]);
    rank.add(PMIX_PROCDIR, space.folder + "/" + std::to_string(here[i]));
    info.add_array(PMIX_PROC_INFO_ARRAY, rank);
  }
  Completion registered;
  pmix_status_t status =
      registered.result(PMIx_server_register_nspace(request.name.c_str(), static_cast<int>(local_size), info.data(),
                                                    info.size(), &Completion::complete, &registered));
  if (status != PMIX_SUCCESS) return failure("PMIx_server_register_nspace", status);

  // libpmix takes these in turn on its thread: all are asked for before any is waited for.
  std::vector<Completion> known(here.size());
  std::vector<pmix_status_t> asked;
  for (std::size_t i = 0; i < here.size(); ++i) {
    const pmix_proc_t self = process(request.name, here[i]);
    asked.push_back(
        PMIx_server_register_client(&self, ::getuid(), ::getgid(), nullptr, &Completion::complete, &known[i]));
  }
  for (std::size_t i = 0; i < here.size(); ++i) {
    const pmix_status_t done = known[i].result(asked[i]);
    if (done != PMIX_SUCCESS) status = done;
  }
  if (status != PMIX_SUCCESS) return failure("PMIx_server_register_client", status);

  for (const std::uint32_t rank : here) {
    const pmix_proc_t self = process(request.name, rank);
    char** entries = nullptr;
    status = PMIx_server_setup_fork(&self, &entries);
    if (status != PMIX_SUCCESS) return failure("PMIx_server_setup_fork", status);
    RankEnvironment& one = environment.emplace_back(RankEnvironment{rank, {}});
    for (char** entry = entries; entry != nullptr && *entry != nullptr; ++entry) {
      one.entries.emplace_back(*entry);
      std::free(*entry);
    }
    std::free(entries);
    if (!space.memory_folder.empty() && !no_memory) {
      // In a folder of their own the segments of a task that crashed are found and removed, and cannot meet another's.
      for (const char* name : {"btl_vader", "btl_sm", "osc_sm"}) {
        one.entries.push_back("OMPI_MCA_" + std::string(name) + "_backing_directory=" + space.memory_folder);
      }
    }
  }
  return {};
}

void Server::on(Close& request) {
  Space space;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = spaces_.find(request.name);
    if (found == spaces_.end()) return;
    space = std::move(found->second);
    spaces_.erase(found);
    // libpmix frees with the namespace what its calls are about: their answers may not come any more.
    std::erase_if(calls_, [&](const auto& call) { return call.second.space == request.name; });
  }
  farewells_.forget(request.name);
  Completion gone;
  PMIx_server_deregister_nspace(request.name.c_str(), &Completion::complete, &gone);
  gone.result(PMIX_SUCCESS);
  std::error_code ignored;
  fs::remove_all(space.folder, ignored);
  if (!space.memory_folder.empty()) fs::remove_all(space.memory_folder, ignored);
  agent_.send(Closed{request.name});
}

template <typename Change>
void Server::attend(const std::string& name, const Change& change) {
  Broken broken;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = spaces_.find(name);
    if (found == spaces_.end()) return;
    change(found->second.attendance);
    const auto missing = found->second.attendance.missing();
    if (!missing || std::exchange(found->second.told_broken, true)) return;
    broken = {name, missing->rank, 1, missing->what};
  }
  agent_.send(std::move(broken));
}

void Server::on(Left& request) {
  attend(request.name, [&](auto& attendance) { attendance.leave(request.rank); });
}

std::uint64_t Server::keep(Call call) {
  const std::scoped_lock lock(mutex_);
  calls_.emplace(++last_call_, std::move(call));
  return last_call_;
}

void Server::answer(std::uint64_t number, pmix_status_t status, const std::string& bytes) {
  Call call{};
  {
    const std::scoped_lock lock(mutex_);
    const auto found = calls_.find(number);
    if (found == calls_.end()) return;
    call = std::move(found->second);
    calls_.erase(found);
  }
  // libpmix reads them later, on its own thread, and then calls free_bytes.
  auto* copy = static_cast<char*>(std::malloc(std::max<std::size_t>(bytes.size(), 1)));
  if (copy != nullptr) std::memcpy(copy, bytes.data(), bytes.size());
  call.answer(copy != nullptr ? status : PMIX_ERR_NOMEM, copy, copy != nullptr ? bytes.size() : 0, call.argument,
              &free_bytes, copy);
}

void Server::on(FenceDone& request) {
  answer(request.call, PMIX_SUCCESS, request.bytes);
}
void Server::on(ModexDone& request) {
  answer(request.call, request.status, request.bytes);
}

void Server::on(Fetch& request) {
  const pmix_proc_t rank = process(request.name, request.rank);
  auto call = std::make_unique<std::uint64_t>(request.call);
  const pmix_status_t status = PMIx_server_dmodex_request(&rank, &Server::on_fetched, call.get());
  if (status == PMIX_SUCCESS) {
    static_cast<void>(call.release());  // on_fetched() has it
  } else {
    agent_.send(Fetched{request.call, status, ""});
  }
}

// ---- calls of libpmix, on its thread

void Server::on_fetched(pmix_status_t status, char* data, std::size_t size, void* argument) {
  const std::unique_ptr<std::uint64_t> call(static_cast<std::uint64_t*>(argument));
  if (instance_ == nullptr) return;
  instance_->agent_.send(Fetched{*call, status, data != nullptr ? std::string(data, size) : ""});
}

pmix_status_t Server::on_connected(const pmix_proc_t* rank, void*, pmix_info_t*, std::size_t, pmix_op_cbfunc_t, void*) {
  instance_->attend(rank->nspace, [&](auto& attendance) { attendance.enter(rank->rank); });
  return PMIX_OPERATION_SUCCEEDED;
}

pmix_status_t Server::on_finalized(const pmix_proc_t* rank, void*, pmix_op_cbfunc_t done, void* argument) {
  instance_->attend(rank->nspace, [&](auto& attendance) { attendance.finish(rank->rank); });
  instance_->farewells_.add(rank->nspace, done, argument);
  return PMIX_SUCCESS;
}

pmix_status_t Server::on_abort(const pmix_proc_t* rank, void*, int status, const char*, pmix_proc_t*, std::size_t,
                               pmix_op_cbfunc_t, void*) {
  // Not answered: the rank waits here until it is ended with the others, so that this is what is known of its end.
  instance_->agent_.send(Broken{rank->nspace, rank->rank, status, "MPI_Abort with code " + std::to_string(status)});
  return PMIX_SUCCESS;
}

pmix_status_t Server::on_fence(const pmix_proc_t* ranks, std::size_t count, const pmix_info_t*, std::size_t, char* data,
                               std::size_t size, pmix_modex_cbfunc_t done, void* argument) {
  Fence fence;
  fence.name = ranks[0].nspace;
  for (std::size_t i = 0; i < count; ++i) {
    if (fence.name != ranks[i].nspace) return PMIX_ERR_NOT_SUPPORTED;
    if (ranks[i].rank == PMIX_RANK_WILDCARD) {
      fence.ranks.clear();
      break;
    }
    fence.ranks.push_back(ranks[i].rank);
  }
  std::sort(fence.ranks.begin(), fence.ranks.end());
  if (data != nullptr) fence.bytes.assign(data, size);
  std::free(data);  // it was made for us
  fence.call = instance_->keep({done, argument, fence.name});
  instance_->agent_.send(std::move(fence));
  return PMIX_SUCCESS;
}

pmix_status_t Server::on_modex(const pmix_proc_t* rank, const pmix_info_t*, std::size_t, pmix_modex_cbfunc_t done,
                               void* argument) {
  instance_->agent_.send(Modex{instance_->keep({done, argument, rank->nspace}), rank->nspace, rank->rank});
  return PMIX_SUCCESS;
}

}  // namespace trireme::pmix
