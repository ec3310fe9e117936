"""A registration's own bootstrap template (``envoy_bootstrap_json_tpl``): Go's text/template, the part
that bootstraps need.
"""
