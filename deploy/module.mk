# what `make install` copies besides the programs: file -> folder
MANDIR  ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
DOCDIR  ?= $(PREFIX)/share/doc/vpcwire
COMPDIR ?= $(PREFIX)/share/bash-completion/completions

INSTALL_FILES += $(foreach f,$(wildcard docs/man/*.8),$f:$(MANDIR)/man8) \
	deploy/bash-completion/vpcwirectl:$(COMPDIR) \
	deploy/systemd/vpcwired.service:$(UNITDIR) \
	deploy/cni/10-vpcwire.conflist:$(DOCDIR)/examples \
	deploy/iam/policy.json:$(DOCDIR)/examples \
	deploy/prometheus/alerts.yaml:$(DOCDIR)/examples \
	deploy/grafana/vpcwire.json:$(DOCDIR)/examples \
	deploy/migrate/aws-iptables:$(DOCDIR)/examples
