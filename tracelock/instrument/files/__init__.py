"""Files of real code as shared objects: ``open``, the functions of ``os``, file locks."""
