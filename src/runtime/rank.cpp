#include "runtime/rank.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <map>

#include "core/run_paths.hpp"
#include "core/units.hpp"
#include "fabric/fabric.hpp"
#include "fabric/progress.hpp"
#include "fabric/serialize.hpp"
#include "node/agent.hpp"
#include "node/tmp_folder.hpp"
#include "node/topology.hpp"
#include "proxy/proxy.hpp"

namespace trireme {
namespace {

constexpr auto sample_every = std::chrono::seconds(1);

}  // namespace

class RankLoop::Impl final : public TransportHandler {
 public:
  Impl(const Place& place, const RunConfig& config, RunInfo info) : place_(place), config_(config), info_(std::move(info)) {}

  Status prepare(MPI_Comm comm, std::unique_ptr<JournalWriter> journal);
  RankEnd serve();

  PilotEdge* pilot() { return pilot_.get(); }
  const std::string& proxy_socket() const { return proxy_socket_; }

 private:
  // TransportHandler
  void on_message(Rank from, MessageKind kind, std::string_view payload) override;
  void on_rank_lost(Rank rank, std::string_view reason) override;
  void on_epoch(std::uint64_t number, std::string_view payload) override;
  void on_epoch_acknowledged(std::uint64_t number) override;

  Result<node::NodeResources> find_resources() const;
  Status start_agent(node::NodeResources resources);
  void handle_signals();
  void on_signal(int signal);
  void on_batch(PilotBatch batch);
  void sample_later();
  void send_samples();
  void agent_done();
  void begin_close();

  const Place place_;
  const RunConfig config_;
  const RunInfo info_;

  boost::asio::io_context io_;
  std::unique_ptr<Fabric> fabric_;
  std::unique_ptr<node::TmpFolder> tmp_;
  std::unique_ptr<proxy::Proxy> proxy_;
  std::unique_ptr<node::Agent> agent_;
  std::unique_ptr<PilotEdge> pilot_;
  boost::asio::signal_set signals_{io_};
  boost::asio::steady_timer sample_timer_{io_};
  std::string proxy_socket_;

  struct Epoch {
    MonoTime published;
    std::vector<ReplicaId> ready;
  };
  std::map<std::uint64_t, Epoch> unacknowledged_;  ///< on rank 0
  std::map<std::uint32_t, std::vector<ReplicaId>> known_ready_;  ///< on rank 0, by service
  bool closing_ = false;
  RankEnd end_;
};

Status RankLoop::Impl::prepare(MPI_Comm comm, std::unique_ptr<JournalWriter> journal) {
  auto fabric = Fabric::create(comm);
  if (!fabric) return fabric.error();
  fabric_ = std::move(*fabric);

  auto tmp = node::TmpFolder::make();
  if (!tmp) return tmp.error();
  tmp_ = std::make_unique<node::TmpFolder>(std::move(*tmp));

  proxy_socket_ = tmp_->path() / "proxy";
  proxy_ = std::make_unique<proxy::Proxy>(io_, *fabric_, proxy::ProxyOptions{.info = info_, .socket = proxy_socket_});
  if (auto listening = proxy_->listen(); !listening) return listening;

  if (place_.rank == pilot_rank) {
    pilot_ = std::make_unique<PilotEdge>(config_, info_, place_.size, std::move(journal), [this](PilotBatch batch) {
      boost::asio::post(io_, [this, batch = std::move(batch)]() mutable { on_batch(std::move(batch)); });
    });
    if (config_.handle_signals) handle_signals();
  }
  if (place_.rank != pilot_rank || !config_.dedicated_pilot) {
    auto resources = find_resources();
    if (!resources) return resources.error();
    if (auto started = start_agent(std::move(*resources)); !started) return started;
  }
  sample_later();
  return {};
}

}  // namespace trireme
