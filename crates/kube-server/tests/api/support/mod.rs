//! What the tests share: a server, its clients, a node.

pub mod agent;
pub mod cluster;
pub mod http;
pub mod kubectl;

pub use cluster::Cluster;
use kube_server::Server;

impl Cluster {
    /// Stops the server and starts it on what it left on disk.
    pub async fn restart(self) -> Cluster {
        let Cluster { server, authority, dir } = self;
        server.shutdown().await;
        let server = Server::start(authority.config(dir.path())).await.expect("the server starts again");
        Cluster { server, authority, dir }
    }

    pub async fn admin(&self) -> kube::Client {
        let text = std::fs::read_to_string(self.kubeconfig()).expect("the kubeconfig");
        let parsed = kube::config::Kubeconfig::from_yaml(&text).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(parsed, &Default::default()).await.expect("a configuration");
        kube::Client::try_from(config).expect("a client")
    }
}
